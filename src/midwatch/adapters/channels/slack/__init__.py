"""Slack: a message for each incident, a thread for what happens, buttons that are obeyed like commands from the page."""
