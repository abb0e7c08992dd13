"""Stand-ins for services that cannot be run here: real HTTP servers on loopback that keep to what the vendors document.

They are made from the documentation (each file names its page), not from recordings of the real thing: what they refuse
the real one refuses as documented, but that the real one takes what they take is not proven by them.
"""
