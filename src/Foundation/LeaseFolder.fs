namespace Peft

open System
open System.Diagnostics
open System.IO
open System.Text
open System.Threading

/// Leases in a real folder, held by this process.
[<RequireQualifiedAccess>]
module internal LeaseFolder =
    /// Codes of the system: there is a file of that name already, and there is none (Unix's, Windows').
    let private isThere (error: IOException) =
        List.contains error.HResult [ 17; 0x80070050 ]

    /// Kept open by its maker, and readable, renamable and removable by all meanwhile.
    let private sharing = FileShare.ReadWrite ||| FileShare.Delete

    let private kept (stream: FileStream) : ILeaseFile =
        { new ILeaseFile with
            member _.Write text =
                stream.Position <- 0L
                stream.Write(ReadOnlySpan(Encoding.UTF8.GetBytes text))
                stream.Flush true

            member _.Dispose() =
                try
                    stream.Dispose()
                with :? IOException ->
                    ()
        }

    /// The files of this machine's folders, NFS's among them.
    let files: ILeaseFiles =
        { new ILeaseFiles with
            member _.TryCreate path =
                try
                    // Without a buffer each beat is one write.
                    Some(kept (new FileStream(path, FileMode.CreateNew, FileAccess.Write, sharing, 0)))
                with
                | :? IOException as error when isThere error -> None
                | :? UnauthorizedAccessException as error -> raise (IOException(error.Message, error))

            member _.TryRead path =
                try
                    use stream = new FileStream(path, FileMode.Open, FileAccess.Read, sharing)
                    use reader = new StreamReader(stream)
                    Some(reader.ReadToEnd())
                with
                | :? FileNotFoundException
                | :? DirectoryNotFoundException -> None
                | :? UnauthorizedAccessException as error -> raise (IOException(error.Message, error))
        }

    let private read (path: string) : string =
        try
            (File.ReadAllText path).Trim()
        with
        | :? IOException
        | :? UnauthorizedAccessException -> ""

    let private variable (name: string) =
        Environment.GetEnvironmentVariable name
        |> Option.ofObj
        |> Option.filter ((<>) "")

    /// The node that this process works on, as the cluster calls it.
    let node: Lazy<string> =
        lazy
            ([ "SLURMD_NODENAME"; "PEFT_NODE" ]
             |> List.tryPick variable
             |> Option.defaultValue Environment.MachineName)

    /// Slurm's number of the job, the pod's name on Kubernetes, "" elsewhere.
    let job: Lazy<string> =
        lazy
            ([ "SLURM_JOB_ID"; "PEFT_POD" ]
             |> List.tryPick variable
             |> Option.defaultValue "")

    let private place =
        lazy
            (let ids =
                try
                    File.ResolveLinkTarget("/proc/self/ns/pid", false)
                    |> Option.ofObj
                    |> Option.map _.Name
                    |> Option.defaultValue ""
                with
                | :? IOException
                | :? UnauthorizedAccessException -> ""

             String.Join(' ', read "/proc/sys/kernel/random/boot_id", ids, node.Value))

    /// A process's number and its start in clock ticks since the boot; None where there is no such process or system.
    let private processOf (id: int) : string option =
        match read $"/proc/{id}/stat" with
        | "" -> None
        | text ->
            // The name stands in brackets and may hold anything; the start is the 20th word behind it.
            let words = text.Substring(text.LastIndexOf ')' + 2).Split ' '

            if words.Length > 19 && words[0] <> "Z" then
                Some $"{id} {words[19]}"
            else
                None

    let private holder () : LeaseHolder =
        {
            Token = Guid.NewGuid().ToString "N"
            Node = node.Value
            Job = job.Value
            Place = place.Value
            Process = processOf Environment.ProcessId |> Option.defaultValue ""
        }

    /// Whether a process of this place has ended: then nobody has to wait for it to be silent.
    let private isDead (holder: LeaseHolder) : bool =
        holder.Process <> ""
        && holder.Place = place.Value
        && (match Int32.TryParse(holder.Process.Split(' ')[0]) with
            | true, id -> processOf id <> Some holder.Process
            | false, _ -> false)

    let private watch = Stopwatch.StartNew()

    /// Leases that others may take over after `life` without a sign.
    let office (life: TimeSpan) : LeaseOffice =
        LeaseOffice(files, life, (fun () -> watch.Elapsed), holder, isDead)

    /// Gives a sign of a lease six times in its life until the result is disposed, which gives the lease back.
    let keep (life: TimeSpan) (lease: Lease) : IDisposable =
        let pace = life / 6.0
        let timer = new Timer((fun _ -> lease.Beat()), null, pace, pace)

        { new IDisposable with
            member _.Dispose() =
                timer.Dispose()
                (lease :> IDisposable).Dispose()
        }

    /// Who holds the lease of a path, alive or not; None where nobody does.
    let holderOf (path: string) : LeaseHolder option =
        try
            let _, text = LeaseChain.last files path 0 ""

            match LeaseText.tryRead text with
            | Some(holder, false) -> Some holder
            | _ -> None
        with
        | :? IOException
        | :? UnauthorizedAccessException -> None
