module Peft.Tests.FilesTests

open System.Diagnostics
open System.IO
open Expecto
open Peft
open Peft.T5
open Peft.Tests.Support

/// Makes a pipe; where this system has none the test is skipped, visibly.
let private pipe (path: string) : unit =
    if System.OperatingSystem.IsWindows() then
        skiptest "a named pipe is not a file here"

    use child = Process.Start("mkfifo", [ path ])
    child.WaitForExit()
    Expect.equal child.ExitCode 0 "the pipe is made"

/// Every reader of a file, by what it reads.
let private readers: (string * (string -> unit)) list =
    [
        "bytes", (fun path -> Files.readBytes 1000L path |> ignore)
        "text", (fun path -> Files.readText 1000L path |> ignore)
        "a file to be opened", (fun path -> (Files.openRegular path).Dispose())
        "a safetensors header", (fun path -> Safetensors.header path |> ignore)
        "safetensors", (fun path -> Safetensors.readAll path |> ignore)
        "a configuration", (fun path -> Config.load path |> ignore)
        "a vocabulary", (fun path -> Tokenizer.Load path |> ignore)
    ]

let private special =
    testList
        "what is no regular file is refused at once, in one line"
        [
            for what, read in readers do
                testCase $"a pipe instead of {what}"
                <| fun () ->
                    inTemporaryFolder (fun folder ->
                        let path = Path.Combine(folder, "pipe")
                        pipe path
                        Expect.stringContains (userErrorOf (fun () -> read path)) path "the message names the file")

                testCase $"a link to an endless device instead of {what}"
                <| fun () ->
                    if not (File.Exists "/dev/zero") then
                        skiptest "there is no /dev/zero here"

                    inTemporaryFolder (fun folder ->
                        let path = Path.Combine(folder, "link")
                        File.CreateSymbolicLink(path, "/dev/zero") |> ignore
                        Expect.stringContains (userErrorOf (fun () -> read path)) path "the message names the file")

                testCase $"a ring of links instead of {what}"
                <| fun () ->
                    inTemporaryFolder (fun folder ->
                        let path, other = Path.Combine(folder, "one"), Path.Combine(folder, "other")
                        File.CreateSymbolicLink(path, other) |> ignore
                        File.CreateSymbolicLink(other, path) |> ignore
                        Expect.stringContains (userErrorOf (fun () -> read path)) path "the message names the file")
        ]

let private sizes =
    testList
        "sizes"
        [
            testCase "a file is read up to its limit, and one that is larger is refused unread"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    let path = Path.Combine(folder, "text")
                    File.WriteAllText(path, "abc")
                    Expect.equal (Files.readText 3L path) "abc" "as large as may be"
                    Expect.equal (Files.readBytes 3L path) "abc"B "the same as bytes"

                    use sparse = new FileStream(path, FileMode.Open)
                    sparse.SetLength(5L <<< 30)
                    sparse.Dispose()

                    let message =
                        userErrorOf (fun () -> Files.readText Files.mostDescription path |> ignore)

                    Expect.stringContains message "5120 MiB" "the message tells the size")

            testCase "an empty file is empty, one that is missing and a folder are told apart"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    let path = Path.Combine(folder, "text")

                    let refusal (path: string) =
                        userErrorOf (fun () -> Files.readText 3L path |> ignore)

                    Expect.stringContains (refusal path) "does not exist" "missing"
                    Expect.stringContains (refusal folder) "is a folder" "a folder"
                    Expect.stringContains (refusal (path + "\000")) "does not exist" "a name that no file has"
                    File.WriteAllText(path, "")
                    Expect.equal (Files.readText 3L path) "" "empty")

            testCase "a byte order mark is no part of the text"
            <| fun () ->
                inTemporaryFolder (fun folder ->
                    let path = Path.Combine(folder, "text")
                    File.WriteAllText(path, "größe", System.Text.UTF8Encoding true)
                    Expect.equal (Files.readText 100L path) "größe" "UTF-8"
                    File.WriteAllText(path, "größe", System.Text.Encoding.Unicode)
                    Expect.equal (Files.readText 100L path) "größe" "UTF-16")
        ]

[<Tests>]
let tests = testList "Files" [ special; sizes ]
