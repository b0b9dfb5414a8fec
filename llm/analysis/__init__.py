"""From stored rows of a subject to numbered facts and ranked causes, by code alone."""
