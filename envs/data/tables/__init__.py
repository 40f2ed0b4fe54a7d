"""Reading one's own data: a YAML file, the files that it names, and what their cells mean.

:mod:`entries` says what may stand in the YAML, :mod:`layouts` how well-known sources lay out their
exports, :mod:`files` makes frames of files, :mod:`clocks` UTC of stamps, :mod:`cells` numbers of
texts in units that :mod:`units` knows, :mod:`series` puts these together, :mod:`slots` brings the
series onto the slots of a trace. Every error is one sentence: file, row, column, value, and what
was expected.
"""
