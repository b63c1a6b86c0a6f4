"""Who runs native code here, on record in a file that outlives the process; and what it leaves when it dies."""
