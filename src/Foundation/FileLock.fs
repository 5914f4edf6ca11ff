namespace Peft

open System
open System.IO

/// Locks between processes: a file that is held open. The system lets go of it when its process ends, however it ends; on
/// Unix it is `flock`, which Python's `filelock` takes too.
[<RequireQualifiedAccess>]
module internal FileLock =
    /// The system's words for "another process has it open": EAGAIN on Linux and macOS, a sharing violation on Windows.
    let private isHeld (error: IOException) =
        List.contains error.HResult [ 11; 35; 0x80070020 ]

    /// Takes a lock until it is disposed; None where it is held already. A file that nobody holds, left over by a process
    /// that was killed, is no hindrance. `UserError` where the file cannot be made.
    let tryTake (path: string) : IDisposable option =
        try
            Some(new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None))
        with
        | :? IOException as error when isHeld error -> None
        | :? IOException
        | :? UnauthorizedAccessException as error -> userError $"{path} cannot be locked: {error.Message}"
