namespace Peft.Campaigns

open System
open System.IO
open System.IO.Compression
open System.Text
open Peft

/// Input `index` of a reader's endless stream: which seed it comes from, and the spoiled file.
[<RequireQualifiedAccess>]
module FuzzInput =
    let private isJson (name: string) =
        name.EndsWith(".json", StringComparison.Ordinal)

    let private unzip (content: byte[]) : byte[] =
        use zip = new GZipStream(new MemoryStream(content), CompressionMode.Decompress)
        use all = new MemoryStream()
        zip.CopyTo all
        all.ToArray()

    /// One line spoiled as JSON, or the whole as bytes.
    let private jsonLines (chance: Chance) (other: byte[]) (good: byte[]) : byte[] =
        let lines = Encoding.UTF8.GetString(good).Split '\n'
        let at = chance.Below lines.Length

        if lines[at] = "" || chance.Odds 0.4 then
            Mutation.bytes chance other good
        else
            lines[at] <- Encoding.UTF8.GetString(JsonMutation.spoil chance lines[at])
            Encoding.UTF8.GetBytes(String.Join('\n', lines))

    /// The header's JSON spoiled, with its length put right.
    let private safetensors (chance: Chance) (other: byte[]) (good: byte[]) : byte[] =
        if chance.Odds 0.4 then
            Mutation.bytes chance other good
        else
            let length = int (BitConverter.ToInt64(good, 0))
            let header = JsonMutation.spoil chance (Encoding.UTF8.GetString(good, 8, length))
            Array.concat [ BitConverter.GetBytes(int64 header.Length); header; good[8 + length ..] ]

    let rec private spoil (chance: Chance) (name: string) (other: byte[]) (good: byte[]) : byte[] =
        if name.EndsWith(".gz", StringComparison.Ordinal) then
            match chance.Below 8 with
            | 0
            | 1
            | 2 -> Mutation.bytes chance other good
            | 3 -> Array.append good (Corpus.zip (Mutation.bytes chance [||] (unzip good)))
            | 4 when chance.Odds 0.01 -> Corpus.zip (Array.zeroCreate (64 <<< 20))
            | _ -> Corpus.zip (spoil chance (name.Substring(0, name.Length - 3)) [||] (unzip good))
        elif isJson name && chance.Odds 0.7 then
            JsonMutation.spoil chance (Encoding.UTF8.GetString good)
        elif name.EndsWith(".jsonl", StringComparison.Ordinal) then
            jsonLines chance other good
        elif name.EndsWith(".safetensors", StringComparison.Ordinal) then
            safetensors chance other good
        else
            Mutation.bytes chance other good

    /// The number of the seed and the spoiled bytes. `victims` are the good files of the seeds, by number.
    let make (reader: string) (seed: int) (index: int) (victims: (string * byte[])[]) : int * byte[] =
        let chance = Chance.ofRow $"fuzz {reader}" seed index
        let number = chance.Below victims.Length
        let name, good = victims[number]
        number, spoil chance name (snd (chance.Pick victims)) good

    /// The good files of a reader's seeds.
    let victims (corpus: string) (reader: Reader) : (string * byte[])[] =
        Corpus.seeds corpus reader
        |> Array.map (fun seed ->
            let file = Reader.victim reader seed
            string (Path.GetFileName file), File.ReadAllBytes file)
