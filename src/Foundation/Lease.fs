namespace Peft

open System
open System.IO

/// The work that a lease was held for is another's by now: nothing of it may be written any more.
exception internal LeaseLost of path: string with
    override error.Message =
        $"{error.path} is another process's by now: this one was silent for too long."

/// A file that its maker keeps open and writes over.
type internal ILeaseFile =
    inherit IDisposable
    /// Writes a text over the former one, which has the same length.
    abstract Write: text: string -> unit

/// What leases ask of a file system: that one of all who create a file succeeds, on which NFS can be relied too. Reading may
/// show what was so some time ago. Both, and the writing, may raise `IOException`, also where the work was done and its
/// answer was lost.
type internal ILeaseFiles =
    /// None where the file is there already.
    abstract TryCreate: path: string -> ILeaseFile option
    /// None where there is none.
    abstract TryRead: path: string -> string option

/// Who holds a lease, as data in its file.
type LeaseHolder =
    {
        /// Unique for every lease that was ever taken.
        Token: string
        /// The node, by the name that the cluster has for it.
        Node: string
        /// The cluster's id of the job, "" outside of one.
        Job: string
        /// The machine's boot, its space of process ids and the node; processes of one place see each other.
        Place: string
        /// The process's number, and when it was started, as its place counts.
        Process: string
    }

/// A lease's file: the holder, whether it gave the lease back, and how often it has been heard of.
[<RequireQualifiedAccess>]
module internal LeaseText =
    let private held, private free = "held", "free"

    /// A line of words with tabs, always of one length for a holder, so that writing over leaves no rest.
    let write (holder: LeaseHolder) (beat: int64) (isFree: bool) : string =
        let state = if isFree then free else held

        String.Join('\t', holder.Token, holder.Node, holder.Job, holder.Place, holder.Process, state, $"{beat:D12}")
        + "\n"

    /// The holder, and whether the lease is free again. None for a file that is being made, or is damaged.
    let tryRead (text: string) : (LeaseHolder * bool) option =
        match text.TrimEnd('\n').Split '\t' with
        | [| token; node; job; place; proc; state; _ |] ->
            let holder =
                {
                    Token = token
                    Node = node
                    Job = job
                    Place = place
                    Process = proc
                }

            Some(holder, (state = free))
        | _ -> None

/// The files of one lease: `PATH.1`, then `PATH.2` by whoever took it over, and so on; the last is the one that holds.
/// None is ever removed while there are workers, since one that reads late might then create it again.
[<RequireQualifiedAccess>]
module internal LeaseChain =
    /// The file of a lease's `number`-th holding, from 1.
    let file (path: string) (number: int) : string = $"{path}.{number}"

    /// The last holding that can be read and its text, asking from the holding `number` on; 0 where there is none.
    let rec last (files: ILeaseFiles) (path: string) (number: int) (text: string) : int * string =
        match files.TryRead(file path (number + 1)) with
        | Some next -> last files path (number + 1) next
        | None -> number, text

/// A claim that is kept by being heard of: whoever holds it writes a count into its file again and again, and others take it
/// over when the file has not changed for `life` by their own clock: no two machines' clocks are ever compared.
///
/// Taking over is the exclusive creation of the next file, and so is `Seal`, which comes before a result is written: of a
/// holder that was believed dead and the one that took over, one succeeds, whatever either of them has read.
[<Sealed>]
type internal Lease
    (
        files: ILeaseFiles,
        path: string,
        number: int,
        first: ILeaseFile,
        holder: LeaseHolder,
        life: TimeSpan,
        clock: unit -> TimeSpan,
        taken: TimeSpan
    ) =
    let gate = obj ()
    let next = LeaseChain.file path (number + 1)
    let mutable file = first
    let mutable beat = 0L
    let mutable heard = taken
    let mutable isSealed = false
    let mutable isOver = false

    let lost () =
        isOver <- true
        raise (LeaseLost path)

    /// Long before anybody may take the lease over, its holder gives it up.
    let isLate () = clock () - heard > life / 2.0

    let write isFree =
        let now = clock ()
        file.Write(LeaseText.write holder (beat + 1L) isFree)
        beat <- beat + 1L
        heard <- now

    /// Whether the next file is there; a fault of the file system is asked again a few times.
    let rec isOvertaken tries =
        try
            (files.TryRead next).IsSome
        with :? IOException when tries > 0 ->
            isOvertaken (tries - 1)

    /// Says that the holder is alive; a fault of the file system is left to the next time.
    member _.Beat() : unit =
        lock gate (fun () ->
            // Who was silent for so long may not begin again.
            if not (isOver || isLate ()) then
                try
                    write false
                with :? IOException ->
                    ())

    /// Raises `LeaseLost` where the work is seen to be another's, or might be soon: call it before anything is written that
    /// a second worker would write likewise.
    member _.Confirm() : unit =
        lock gate (fun () ->
            let overtaken =
                try
                    isOvertaken 3
                with :? IOException ->
                    true

            if isOver || isLate () || (overtaken && not isSealed) then
                lost ())

    /// Call it before the result is written: from now on nobody else can take the work over, unless the holder is then
    /// silent for a whole life. Raises `LeaseLost` where somebody has, or where no answer tells.
    member _.Seal() : unit =
        lock gate (fun () ->
            if isOver || isLate () then
                lost ()

            if not isSealed then
                let now = clock ()

                match
                    (try
                        files.TryCreate next
                     with :? IOException ->
                         None)
                with
                | None -> lost ()
                | Some sealing ->
                    file.Dispose()
                    file <- sealing
                    isSealed <- true
                    heard <- now

                    try
                        write false
                    with :? IOException ->
                        // An empty file keeps others out too.
                        ())

    interface IDisposable with
        /// Lets others have unfinished work at once.
        member _.Dispose() =
            lock gate (fun () ->
                if not (isOver || isSealed) then
                    try
                        write true
                    with :? IOException ->
                        ()

                isOver <- true
                file.Dispose())

/// What a process knows of a lease that another holds.
type private Sighting =
    {
        Number: int
        Text: string
        /// When it was first read so.
        Since: TimeSpan
    }

/// Leases of one folder, as one process sees them.
[<Sealed>]
type internal LeaseOffice
    (
        files: ILeaseFiles,
        life: TimeSpan,
        clock: unit -> TimeSpan,
        holder: unit -> LeaseHolder,
        isDead: LeaseHolder -> bool
    ) =
    let seen = Collections.Generic.Dictionary<string, Sighting>()

    /// What stands there now, and since when this process has seen just that.
    let sight (path: string) : Sighting =
        let known =
            match seen.TryGetValue path with
            | true, before ->
                files.TryRead(LeaseChain.file path before.Number)
                |> Option.map (fun text -> before.Number, text)
            | false, _ -> None

        let number, text = LeaseChain.last files path <|| Option.defaultValue (0, "") known

        match seen.TryGetValue path with
        | true, before when before.Number = number && before.Text = text -> before
        | _ ->
            let sighting =
                {
                    Number = number
                    Text = text
                    Since = clock ()
                }

            if number > 0 then
                seen[path] <- sighting

            sighting

    /// Whether it was given back, was long unchanged, or its process is known to have ended.
    let isForsaken (sighting: Sighting) : bool =
        sighting.Number = 0
        || clock () - sighting.Since > life
        || (LeaseText.tryRead sighting.Text
            |> Option.exists (fun (holder, isFree) -> isFree || isDead holder))

    let create (path: string) (number: int) : Lease option =
        let holder, taken = holder (), clock ()

        match files.TryCreate(LeaseChain.file path number) with
        | None -> None
        | Some file ->
            try
                file.Write(LeaseText.write holder 0L false)
                Some(new Lease(files, path, number, file, holder, life, clock, taken))
            with :? IOException ->
                // An empty file is no one's, and in time taken over as any other.
                file.Dispose()
                None

    /// Takes a lease; None where another has it, or where the file system does not answer.
    member _.TryTake(path: string) : Lease option =
        try
            let sighting = sight path

            if isForsaken sighting then
                create path (sighting.Number + 1)
            else
                None
        with :? IOException ->
            None
