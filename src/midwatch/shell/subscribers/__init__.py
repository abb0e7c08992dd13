"""Those who asked for mail about what the page for customers says.

Addresses are personal data: they are in a book of their own (``book.py``), never in the journal, a log or an address of a
page, and leaving erases them. ``asking.py`` is what the public form may do, ``mails.py`` the words, ``mailing.py`` the
sending.
"""
