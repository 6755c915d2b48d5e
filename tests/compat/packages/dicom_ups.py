"""What dicom-ups does as an SCU of the Unified Procedure Step: a query, and global subscriptions."""

import os
from pathlib import Path

Path("servers.toml").write_text("[server.conductor]\nhost = '127.0.0.1'\nport = 11112\nae = 'PEER'\n", encoding="utf-8")
os.environ["SERVERS_TOML"] = "servers.toml"
from dicom_ups.ups_steps import global_ups_notifications, ups_query  # noqa: E402

print(ups_query())
global_ups_notifications("SOMEBODY", subscribe=True)
global_ups_notifications("SOMEBODY", subscribe=False)
Path("servers.toml").unlink()
