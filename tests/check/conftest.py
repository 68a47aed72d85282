# The corpus is what is checked: its tests are bad ones.
collect_ignore = ["corpus"]
