pytest_plugins = ["bedplate.testing.plugin"]
