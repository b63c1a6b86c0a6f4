"""Every command's verb: what deploys, trains, names, revokes and looks. Knows no HTTP; the reconciler is its arm."""
