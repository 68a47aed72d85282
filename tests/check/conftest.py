# The corpus is input of the check, and its tests are wrong on purpose.
collect_ignore = ["corpus"]
