"""Behind a proxy: who the client really is, as the proxies that are trusted say it."""
