/// The campaigns of docs/reliability.md in their bounded form.
module Peft.Tests.CampaignTests

open System
open System.IO

open Expecto
open Peft
open Peft.Campaigns
open Peft.Tests.Support

/// Inputs over all readers.
let private inputs = 2000

let private laws =
    testList
        "Mutations"
        [
            testProperty "bytes are spoiled alike from one seed"
            <| fun (seed: uint64) (good: byte[]) (other: byte[]) ->
                Mutation.bytes (Chance seed) other good = Mutation.bytes (Chance seed) other good

            testCase "JSON is read and written back as it was, numbers and names included"
            <| fun () ->
                let text = """{"a":[1.50,-0,1e5,null,true,"x\\u00e9"],"b":{},"c":[]}"""

                match JsonMutation.tryParse text with
                | Some tree -> Expect.equal (JsonMutation.print tree) text "the same text"
                | None -> failtest "it is JSON"

            testProperty "JSON is spoiled alike from one seed, and not left as it was too often"
            <| fun (seed: uint64) ->
                let good = """{"Format":"x","Values":[1,2,{"y":"z"}]}"""
                let spoiled = JsonMutation.spoil (Chance seed) good
                spoiled = JsonMutation.spoil (Chance seed) good
        ]

let private fuzz =
    testCase
        $"{inputs} spoiled files over all readers are read or refused in one line, and none hangs, crashes or takes a gigabyte"
    <| fun () ->
        inTemporaryFolder (fun folder ->
            let settings =
                {
                    Folder = folder
                    Inputs = inputs
                    Seed = 1
                    Readers = []
                }

            let tallies = Fuzz.run settings ignore
            let table = Fuzz.table tallies
            Expect.isEmpty (tallies |> List.collect (fun tally -> List.ofSeq tally.Findings)) table
            Expect.isGreaterThan (tallies |> List.sumBy _.Read) (inputs / 20) $"some are read after all\n{table}"

            // Finished, it has nothing left to do.
            Expect.equal (Fuzz.run settings (failtestf "went on: %s")) tallies "resumed")

let private kill =
    testCase "a sweep that is struck four times leaves what an undisturbed one leaves"
    <| fun () ->
        if not (OperatingSystem.IsLinux()) then
            skiptest "signals to groups of processes are Linux's"

        inTemporaryFolder (fun folder ->
            let settings =
                {
                    Folder = Path.Combine(folder, "kill")
                    Kills = 4
                    Seed = 1
                    Sweep = [ 1 ]
                    Jobs = [ 2 ]
                }

            let tally = Kill.run settings ignore
            Expect.isEmpty tally.Findings (Kill.table tally)
            Expect.equal (Seq.sum tally.Blows.Values) 4 "four blows")

let private messages =
    testList
        "Messages"
        [
            testCase "a message is one line without control characters, whatever it quotes"
            <| fun () ->
                let message = userErrorOf (fun () -> userError "a\nb\u001b[31mc\u0000d\u2028e")

                Expect.equal message "a b [31mc d e" "plain"

            testCase "a long message keeps its beginning and its end"
            <| fun () ->
                let message =
                    userErrorOf (fun () ->
                        userError ("this file " + String('x', 50_000) + " is damaged. Fetch it again."))

                Expect.isLessThan message.Length 1300 "bounded"
                Expect.stringStarts message "this file xxx" "its beginning"
                Expect.stringEnds message "Fetch it again." "what to do"
        ]

[<Tests>]
let tests = testSequenced (testList "Campaigns" [ messages; laws; fuzz; kill ])
