"""Random faults over a real workload: processes, databases, a judge, and what must hold whatever happens to them."""
