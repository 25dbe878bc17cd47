"""Measuring side by side: shared by the benchmarks of speed, accuracy and growth.

rows.py       what is measured: settings and rows
examples.py   the tokenized reviews that every row gets
models.py     the models that are trained, and their plain evaluation
watch.py      clock, energy, memory, and how much of the machine others used
ours.py       training and evaluation by labkit
peers.py      the same by the Hugging Face Trainer, Accelerate and the pipeline
limit.py      how fast this machine multiplies matrices of a model's shapes
measure.py    one row, measured in a process of its own
processes.py  starts that process
journal.py    results as JSON lines, each saved at once
rounds.py     which row comes when, and which rounds count
ratios.py     paired ratios with their intervals, and when a comparison is void
verdicts.py   what must be shown
running.py    one run of rounds, and the code that its journal hangs on
table.py      the Markdown page
"""
