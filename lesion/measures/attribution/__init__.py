"""Attribution and patching."""
