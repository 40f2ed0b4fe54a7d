"""Reading one's own data: a YAML file, the files that it names, and what their cells mean.

:mod:`assemble` makes an instance of it all, of the series of each :mod:`region`, the
:mod:`footprints` that follow and the :mod:`knobs`. :mod:`entries` says what may stand in the YAML,
:mod:`layouts` how well-known sources lay out their exports. :mod:`files` makes frames of files,
:mod:`times` reads stamps and :mod:`clocks` brings them to UTC, :mod:`cells` makes numbers of texts,
in units that :mod:`units` knows. :mod:`parts` finds the rows of a series; :mod:`series`,
:mod:`mix`, :mod:`requests` and :mod:`jobs` make values that each last a while of them, and
:mod:`slots` brings these onto the slots of a trace. Every error is one sentence (:mod:`messages`):
file, row, column, value, and what was expected.
"""
