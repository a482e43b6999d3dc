"""Is an effect the target's own?"""
