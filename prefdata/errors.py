"""What a user is told when something cannot go on: one sentence and an exit code.

Exit codes of every command: 0 done; 1 the data has errors, or the job ended with failures; 2 wrong usage or
input that cannot be read; 130 stopped by the user.
"""

import errno

EXIT_DATA = 1
EXIT_USAGE = 2
EXIT_STOPPED = 130


class PrefdataError(Exception):
    """A problem the user can mend. The message is one sentence: where, which value, what to do."""

    def __init__(self, message: str, *, exit_code: int = EXIT_USAGE) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class NoRows(PrefdataError):
    """A data file that is whole and holds nothing."""


def from_os_error(error: OSError, *, resumes: bool = False) -> PrefdataError:
    """Turn an operating-system error into a sentence that names the file and the remedy.

    resumes: the same command would go on where it stopped.
    """
    place = str(error.filename) if error.filename is not None else "the output"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        kept = ", finished work is kept" if resumes else ""
        return PrefdataError(
            f"{place}: no space left on the device; free some and run the same command again{kept}.",
            exit_code=EXIT_DATA,
        )
    if isinstance(error, FileNotFoundError):
        return PrefdataError(f"{place}: no such file or folder; check the path.")
    if isinstance(error, IsADirectoryError):
        return PrefdataError(f"{place}: is a folder, a file is needed here.")
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return PrefdataError(f"{place}: permission denied; choose a place you may read and write.")
    return PrefdataError(f"{place}: {error.strerror or error}.")
