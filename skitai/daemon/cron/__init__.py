"""The cron agent: runs commands at the times that ``[crontab:line]`` of skitaid.conf says."""
