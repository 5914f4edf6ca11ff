namespace Peft.Synthetic

open System
open System.Collections.Concurrent
open System.IO
open System.Reflection

/// Lists of words and phrases as plain text, `words/*.txt`: `[name]` opens a list, every further line is an entry, and
/// what begins with `#` is a comment. The files travel in the assembly and are read when one of their lists is first asked for.
[<RequireQualifiedAccess>]
module WordLists =
    /// The lists of a text, in its order. `file` names it in messages; a fault is an `InvalidDataException`.
    let parse (file: string) (text: string) : (string * string[]) list =
        let fail line problem =
            raise (InvalidDataException $"words/{file}.txt, line {line}: {problem}.")

        let closed (lists: (string * string list) list) line =
            match lists with
            | (name, []) :: _ -> fail line $"the list before, [{name}], has no entry"
            | _ -> lists

        let step (lists: (string * string list) list) (number: int, line: string) =
            if line = "" || line[0] = '#' then
                lists
            elif line[0] = '[' && line[line.Length - 1] = ']' then
                let name = line.Substring(1, line.Length - 2)

                if lists |> List.exists (fun (known, _) -> known = name) then
                    fail number $"there are two lists [{name}]"

                (name, []) :: closed lists number
            else
                match lists with
                | [] -> fail number "an entry stands before the first [name]"
                | (name, entries) :: others -> (name, line :: entries) :: others

        let lines = text.Split '\n' |> Array.mapi (fun place line -> place + 1, line.Trim())

        let lists = closed (Array.fold step [] lines) lines.Length

        lists
        |> List.rev
        |> List.map (fun (name, entries) -> name, entries |> List.rev |> Array.ofList)

    let private resource (file: string) : string =
        match Assembly.GetExecutingAssembly().GetManifestResourceStream $"words/{file}.txt" with
        | null -> invalidArg (nameof file) $"the assembly holds no words/{file}.txt"
        | stream ->
            use reader = new StreamReader(stream)
            reader.ReadToEnd()

    let private files = ConcurrentDictionary<string, Lazy<(string * string[]) list>>()

    /// All lists of a file, in its order.
    let rules (file: string) : (string * string[]) list =
        files.GetOrAdd(file, fun file -> lazy parse file (resource file)).Value

    /// One list of a file.
    let read (file: string) (name: string) : string[] =
        match rules file |> List.tryFind (fun (known, _) -> known = name) with
        | Some(_, entries) -> entries
        | None -> invalidArg (nameof name) $"words/{file}.txt has no list [{name}]"

    /// A list whose entries are two parts with a slash between them.
    let pairs (file: string) (name: string) : (string * string)[] =
        read file name
        |> Array.map (fun entry ->
            match entry.Split '/' with
            | [| first; second |] -> first, second
            | _ ->
                raise (
                    InvalidDataException
                        $"words/{file}.txt, [{name}]: {entry} is not two parts with a slash between them."
                ))
