"""Cards: all that is known of a layer, in one place and with its source."""
