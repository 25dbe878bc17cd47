"""This folder is a course that tests copy and work in; nothing of it is imported or collected where it lies."""

collect_ignore_glob = ["*"]
