"""Words and sentences of the published tasks, our own.

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
GIVING = {
    "arrived": "When{a} and{b} arrived at the{place},{s} handed the{object} to",
    "lunch": "After{a} and{b} had lunch near the{place},{s} passed the{object} to",
    "waiting": "While{a} and{b} were waiting at the{place},{s} showed the{object} to",
    "meeting": "Because{a} and{b} were meeting at the{place},{s} brought the{object} to",
    "visited": "Last week{a} and{b} visited the{place}, and{s} sold the{object} to",
    "cleaned": "Yesterday{a} and{b} cleaned the{place}, and{s} gave the{object} to",
    "talked": "On Monday{a} and{b} talked at the{place}. Later{s} mailed the{object} to",
    "left": "In the evening{a} and{b} left the{place}, and{s} returned the{object} to",
    "worked": "Since{a} and{b} both worked at the{place},{s} lent the{object} to",
    "home": "Before{a} and{b} went home from the{place},{s} offered the{object} to",
    "noon": "At noon{a} and{b} came to the{place}. There{s} threw the{object} to",
    "found": "Once{a} and{b} had found the{place},{s} gave the{object} to",
}
"""Templates of indirect object identification: two names, a place, a name again, an object."""
EVENTS = (
    "war", "siege", "voyage", "trial", "reign", "strike", "drought", "famine", "project", "campaign", "exile",
    "festival", "journey", "search", "study", "tour", "rule", "revolt", "flood", "plague", "storm", "dispute",
    "conflict", "debate", "experiment", "mission", "investigation", "occupation", "expedition",
)  # fmt: skip
"""What lasts from one year to another."""
