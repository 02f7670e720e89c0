"""Repositories elsewhere: an object store or web server → a verified copy in the local cache.

    address → listing → files of a version → checked against its card → renamed into the cache

What is in the cache is a repository folder like any other (`models.checkpoint`). Only the operator
names an address; no request does.
"""
