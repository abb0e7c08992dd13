"""Decoders of what alerting systems send, one file per wire format. Each is pure: a body and what its integration says
about it (``common.Rules``) become ``common.Decoded``; what is no such body raises IngestError."""
