"""The screen: of each tab, NAME.py is what happens and NAME_tab.py is what is seen."""
