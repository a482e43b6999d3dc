"""Gates and tests are tried on evidence whose judgement is known."""
