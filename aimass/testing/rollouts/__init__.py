"""What tests of rollouts stand on: the kit of guards, and traffic that is made up."""
