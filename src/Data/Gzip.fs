namespace Peft

open System
open System.IO
open System.IO.Compression
open System.Text

/// A stream that can only be read, from its start to its end.
[<AbstractClass>]
type internal ForwardStream() =
    inherit Stream()
    override _.CanRead = true
    override _.CanSeek = false
    override _.CanWrite = false
    override _.Length = raise (NotSupportedException())

    override _.Position
        with get () = raise (NotSupportedException())
        and set _ = raise (NotSupportedException())

    override _.Flush() = ()
    override _.Seek(_, _) = raise (NotSupportedException())
    override _.SetLength _ = raise (NotSupportedException())
    override _.Write(_: byte[], _: int, _: int) = raise (NotSupportedException())

    override stream.Read(buffer: byte[], offset: int, count: int) : int =
        stream.Read(Span(buffer, offset, count))

/// The bytes of one stream, and then `last`.
type private Followed(source: Stream, last: byte[]) =
    inherit ForwardStream()
    let mutable given = 0

    override _.Read(target: Span<byte>) : int =
        let got = source.Read target

        if got > 0 || given = last.Length then
            got
        else
            let count = min target.Length (last.Length - given)
            Span(last, given, count).CopyTo target
            given <- given + count
            count

/// What a gzip file holds, all its members, unpacked as it is read. .NET checks each member's length and checksum, but takes
/// a file that ends early for a complete one and passes over what follows the last member. So a member of our own is
/// read behind the file's: where it does not come out at the end, the file is damaged.
type internal GzipStreamOf(file: string, source: Stream, limit: int64) =
    inherit ForwardStream()

    let mark = Encoding.ASCII.GetBytes "Peft: end of gzip"

    let packedMark =
        use all = new MemoryStream()

        (use zip = new GZipStream(all, CompressionLevel.Fastest, leaveOpen = true)
         zip.Write(ReadOnlySpan mark))

        all.ToArray()

    let zip =
        new GZipStream(new Followed(source, packedMark), CompressionMode.Decompress)

    let buffer = Array.zeroCreate<byte>(1 <<< 16)
    let mutable first = 0
    let mutable beyond = 0
    let mutable total = 0L
    let mutable isEnded = false

    let damaged () =
        userError $"{file} is damaged: its gzip data cannot be unpacked. Fetch it again."

    /// Reads until something stands before the last bytes, which may be the mark.
    let fill () =
        while not isEnded && beyond - first <= mark.Length do
            Buffer.BlockCopy(buffer, first, buffer, 0, beyond - first)
            beyond <- beyond - first
            first <- 0

            let got =
                try
                    zip.Read(buffer, beyond, buffer.Length - beyond)
                with :? InvalidDataException ->
                    damaged ()

            beyond <- beyond + got
            total <- total + int64 got

            if total > limit then
                userError
                    $"{file} unpacks to more than {Columns.bytes limit}, too much for its size. If that is right, unpack it and name the unpacked file."

            if got = 0 then
                isEnded <- true

                if not (ReadOnlySpan(buffer, first, beyond - first).SequenceEqual(ReadOnlySpan mark)) then
                    damaged ()

    override _.Read(target: Span<byte>) : int =
        fill ()
        let count = min target.Length (max 0 (beyond - first - mark.Length))
        Span(buffer, first, count).CopyTo target
        first <- first + count
        count

    override _.Dispose(isDisposing: bool) =
        if isDisposing then
            zip.Dispose()
            source.Dispose()

/// Packed files.
[<RequireQualifiedAccess>]
module internal Gzip =
    /// How many times its size a file may grow, and the size that every file may grow to.
    let private growth, private always = 100L, 64L * 1024L * 1024L

    /// The most bytes that a packed file of a size may unpack to: text shrinks to a third or a tenth, and what shrinks to
    /// less than a hundredth is no data set.
    let limit (packed: int64) : int64 = max always (packed * growth)

    /// A packed file's bytes.
    let openRead (file: string) : Stream =
        let source = Files.openRegular file

        if source.Length = 0L then
            source
        else
            new GzipStreamOf(file, source, limit source.Length)
