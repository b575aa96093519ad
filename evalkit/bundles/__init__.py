"""Bundles: an evaluation made elsewhere, as one file that a server can check, recompute and keep.

`evalkit.bundles.pack` writes one, `evalkit.bundles.unpack` opens one safely, `evalkit.bundles.verify` compares it with
what the server knows by itself.
"""
