orders = ()
