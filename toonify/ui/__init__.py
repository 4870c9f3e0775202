"""The web page: what each tab shows is in tabs/, what happens there in handlers/."""
