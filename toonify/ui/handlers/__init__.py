"""What each tab does."""
