namespace Peft

open System
open System.IO
open Microsoft.Win32.SafeHandles

/// File handles that a process keeps in hand, so that it can still say so when there are no more: what tells an error is
/// loaded from files itself. Nothing here needs a file that is not open from the start.
[<RequireQualifiedAccess>]
module internal SpareHandles =
    /// What loading all that tells an error takes, and what a command takes until it is measured by its own work.
    let private count = 64

    let private message =
        "peft: this process may open too few files. Raise the limit (ulimit -n 1024).\n"

    /// Closes them: so many can be opened again.
    let release (handles: (SafeFileHandle | null)[]) : unit =
        for handle in handles do
            match handle with
            | null -> ()
            | held -> held.Dispose()

    /// Straight to the handle of standard error: the console would have to be loaded first.
    let say () : unit =
        use error = new SafeFileHandle(nativeint 2, false)
        use stream = new FileStream(error, FileAccess.Write, 1)
        stream.Write(Text.Encoding.UTF8.GetBytes message, 0, message.Length)

    /// Opens them; null, and said on standard error, where there are not as many. Windows has no such limit.
    let take () : (SafeFileHandle | null)[] | null =
        let handles: (SafeFileHandle | null)[] = Array.zeroCreate count

        try
            if File.Exists "/dev/null" then
                for index in 0 .. count - 1 do
                    handles[index] <- File.OpenHandle("/dev/null", FileMode.Open, FileAccess.Read, FileShare.ReadWrite)

            handles
        with :? IOException ->
            release handles
            say ()
            null
