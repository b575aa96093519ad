"""What the pages show and the REST API answers, as plain records: neither knows of the other, and both read here."""
