rows = ()
