"""What to change: sites, interventions, and the pure tensor edit. Knows no model; only `edit` needs torch."""
