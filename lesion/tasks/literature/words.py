"""Words of the published tasks, our own.

Every name, place, object and event is one token behind a space for GPT-2, SmolLM2, Gemma 3 and Qwen 2.5; a test counts.
"""

NAMES = (
    "Mary", "John", "Tom", "James", "Dan", "Sarah", "Anna", "David", "Paul", "Robert", "Michael", "Peter", "Emma",
    "Laura", "Alice", "Jack", "Mark", "Lisa", "Kate", "Simon", "Jane", "Henry", "George", "Adam", "Martin", "Rachel",
    "Julia", "Kevin", "Andrew", "Thomas", "Daniel", "Jason", "Frank", "Linda", "Karen", "Nancy", "Susan", "Helen",
    "Carl", "Roger", "Amy", "Ruth", "Steve", "Brian", "Eric", "Scott", "Diana", "Maria",
)  # fmt: skip
PLACES = ("station", "library", "park", "market", "museum", "school", "office", "beach", "garden", "hotel")
OBJECTS = ("book", "ball", "key", "coat", "letter", "ticket", "camera", "lamp", "map", "ring")
EVENTS = (
    "war", "siege", "voyage", "trial", "reign", "strike", "drought", "famine", "project", "campaign", "exile",
    "festival", "journey", "search", "study", "tour", "rule", "revolt", "flood", "plague", "storm", "dispute",
    "conflict", "debate", "experiment", "mission", "investigation", "occupation", "expedition",
)  # fmt: skip
"""What lasts from one year to another."""
