"""One version with everything that was recorded of it, as a file that another store reads: `evalkit export | import`.

`evalkit.portable.export` writes one, `evalkit.portable.restore` checks and stores it; `evalkit.portable.results` and
`evalkit.portable.inspect_log` write results alone, in the formats of others.
"""
