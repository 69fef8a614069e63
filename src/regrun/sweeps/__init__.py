"""Many runs: composed, shared among workers, and told of."""
