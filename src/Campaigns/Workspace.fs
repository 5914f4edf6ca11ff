namespace Peft.Campaigns

open System
open System.IO
open System.Reflection
open System.Text

/// A tiny base model and a few rows, from what the repository holds: enough for every reader and for sweeps of seconds.
[<RequireQualifiedAccess>]
module Workspace =
    /// Where this program lies, and the command line beside it; a script's base folder is another.
    let programs: string =
        string (Path.GetDirectoryName(Assembly.GetExecutingAssembly().Location))

    /// The checkout's root: the nearest folder above this assembly that holds Peft.sln.
    let root: Lazy<string> =
        lazy
            (let rec up (folder: DirectoryInfo | null) =
                match folder with
                | null -> failwith "Peft.sln is in no folder above this program: campaigns run in a checkout."
                | here when File.Exists(Path.Combine(here.FullName, "Peft.sln")) -> here.FullName
                | here -> up here.Parent

             up (DirectoryInfo programs))

    /// A reference of the tests, under tests/golden.
    let golden (parts: string list) : string =
        Path.Combine(root.Value :: "tests" :: "golden" :: parts |> Array.ofList)

    /// Copies the files of a folder that `keep` takes.
    let copy (source: string) (target: string) (keep: string -> bool) : unit =
        Directory.CreateDirectory target |> ignore

        for file in Directory.GetFiles source |> Array.sort do
            let name = string (Path.GetFileName file)

            if keep name then
                File.Copy(file, Path.Combine(target, name), overwrite = true)

    /// One field of a protocol buffer's message: its tag and its bytes, whole.
    let private fields (bytes: byte[]) : (int * byte[]) list =
        let varint (start: int) =
            let mutable value, shift, at = 0UL, 0, start

            while bytes[at] >= 0x80uy do
                value <- value ||| ((uint64 bytes[at] &&& 0x7FUL) <<< shift)
                shift <- shift + 7
                at <- at + 1

            value ||| (uint64 bytes[at] <<< shift), at + 1

        let rec read at found =
            if at >= bytes.Length then
                List.rev found
            else
                let tag, next = varint at

                let ends =
                    match tag &&& 7UL with
                    | 0UL -> snd (varint next)
                    | 1UL -> next + 8
                    | 5UL -> next + 4
                    | _ ->
                        let length, from = varint next
                        from + int length

                read ends ((int (tag >>> 3), bytes[at .. ends - 1]) :: found)

        read 0 []

    let rec private varintOf (value: int) : byte list =
        if value < 0x80 then
            [ byte value ]
        else
            byte (value &&& 0x7F ||| 0x80) :: varintOf (value >>> 7)

    let private blob (number: int) (content: byte[]) : byte[] =
        Array.concat [ [| byte (number * 8 + 2) |]; Array.ofList (varintOf content.Length); content ]

    /// A SentencePiece model with the first pieces of the tests' vocabulary and a normaliser that changes nothing: 4 KB.
    let vocabulary (pieces: int) : byte[] =
        let all = fields (File.ReadAllBytes(golden [ "tokenizer"; "english8k.model" ]))

        let table =
            // The size of the trie, its units (none leads anywhere) and the replacements' closing zero.
            Array.concat [ BitConverter.GetBytes 1024; Array.zeroCreate<byte> 1024; [| 0uy |] ]

        Array.concat
            [
                yield!
                    all
                    |> List.filter (fun (number, _) -> number = 1)
                    |> List.truncate pieces
                    |> List.map snd
                yield! all |> List.filter (fun (number, _) -> number = 2) |> List.map snd
                blob 3 (Array.concat [ blob 1 (Encoding.UTF8.GetBytes "identity"); blob 2 table ])
            ]

    /// Writes a model folder: the tests' small T5 v1.1 (width 32, 2 + 3 blocks, 384 tokens) with a vocabulary that fits.
    let writeModel (folder: string) : unit =
        let isOfModel name =
            name = "config.json" || name = "model.safetensors"

        copy (golden [ "t5-gated" ]) folder isOfModel
        // One hundred sentinels stand above the pieces.
        File.WriteAllBytes(Path.Combine(folder, "spiece.model"), vocabulary 284)

    /// Writes the first rows of an embedded data set.
    let writeData (folder: string) (task: string) (train: int) (others: int) : unit =
        Directory.CreateDirectory(Path.Combine(folder, task)) |> ignore

        for portion, rows in [ "train", train; "validation", others; "test", others ] do
            File.ReadLines(Path.Combine(root.Value, "data", task, $"{portion}.jsonl"))
            |> Seq.truncate rows
            |> fun lines -> File.WriteAllLines(Path.Combine(folder, task, $"{portion}.jsonl"), lines)
