"""Every durable effect of the core: commits, file writes, renames, deletes, spawns. No other module may cause one.

The order on which SUCCESS relies: write under a temporary name, fsync, rename, fsync the folder, and only then commit.
Each effect passes a failpoint: tests kill the process, or fail the call, at every one.
"""

from aetherflow.core.base.durable.base import (
    FILE_MODE,
    FOLDER_MODE,
    PART_PREFIX,
    PART_SUFFIX,
    SOURCE_FILE_MODE,
    SOURCE_FOLDER_MODE,
    is_part,
    make_dir,
    sync_dir,
    sync_file,
)
from aetherflow.core.base.durable.database import (
    backup_database,
    connect,
    connect_to_read,
    execute_all,
    keep_before,
    memory_database,
    real_file,
    restore_database,
    side_folder,
    transaction,
)
from aetherflow.core.base.durable.failpoint import hit
from aetherflow.core.base.durable.files import (
    AppendedFile,
    AtomicFile,
    file_facts,
    move_file,
    new_file,
    open_lock,
    open_log,
    publish_file,
    remove_file,
    remove_scratch,
    rename_file,
    swap_link,
    write_bytes,
)
from aetherflow.core.base.durable.folders import (
    remove_empty_dir,
    remove_parts,
    remove_parts_of,
    remove_tree,
    restore_dir,
    swap_dir,
)
from aetherflow.core.base.durable.processes import ChildProcess, spawn, spawn_guard
from aetherflow.core.base.durable.resumable import Leftovers, ResumableFile

__all__ = [
    "FILE_MODE",
    "FOLDER_MODE",
    "PART_PREFIX",
    "PART_SUFFIX",
    "SOURCE_FILE_MODE",
    "SOURCE_FOLDER_MODE",
    "AppendedFile",
    "AtomicFile",
    "ChildProcess",
    "Leftovers",
    "ResumableFile",
    "backup_database",
    "connect",
    "connect_to_read",
    "execute_all",
    "file_facts",
    "hit",
    "is_part",
    "keep_before",
    "make_dir",
    "memory_database",
    "move_file",
    "new_file",
    "open_lock",
    "open_log",
    "publish_file",
    "real_file",
    "remove_empty_dir",
    "remove_file",
    "remove_parts",
    "remove_parts_of",
    "remove_scratch",
    "remove_tree",
    "rename_file",
    "restore_database",
    "restore_dir",
    "side_folder",
    "spawn",
    "spawn_guard",
    "swap_dir",
    "swap_link",
    "sync_dir",
    "sync_file",
    "transaction",
    "write_bytes",
]
