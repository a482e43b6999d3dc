"""What each kind of evidence says, in words: ablations, matched sets, dissociations, overlap, replication."""
