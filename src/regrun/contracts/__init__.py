"""Types that the parts of a training share."""
