"""Procedures and measurements that belong to one paper only."""
