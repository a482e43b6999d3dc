"""The conditions under which an item is asked: arms, their edits, and the columns that name them in a row."""
