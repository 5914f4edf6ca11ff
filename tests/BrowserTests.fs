module Peft.Tests.BrowserTests

open System
open System.IO
open Expecto
open Peft
open Peft.Reports
open Peft.Tests.Support
open Peft.Tests.ReportSupport

/// Where pictures of the page go, for people to look at: named by the environment, none by default.
let private pictures =
    Option.ofObj (Environment.GetEnvironmentVariable "PEFT_SCREENSHOTS")

let private picture (page: Browser.Page) (name: string) =
    pictures
    |> Option.iter (fun folder -> page.Screenshot(Path.Combine(folder, name + ".png")))

/// Opens the report of some results.
let private inBrowserOf (write: string -> unit) (body: Browser.Page -> unit) =
    inTemporaryFolder (fun folder ->
        // The browser first: where there is none, no report is made in vain.
        use page = Browser.launch ()
        let results, output = Path.Combine(folder, "runs"), Path.Combine(folder, "report")
        Directory.CreateDirectory results |> ignore
        write results
        Directory.CreateDirectory output |> ignore
        let path = Path.Combine(output, "report.html")
        File.WriteAllText(path, Report.create "peft report runs" output results |> Page.toHtml)
        page.Resize(1280, 900, false)
        page.Open path
        body page
        Expect.equal page.Errors [] "the console has no error"

        Expect.equal
            (page.Requests |> List.filter (fun url -> not (url.StartsWith "data:")))
            [ Uri(path).AbsoluteUri ]
            "the page asked for nothing but itself")

/// Opens the report of a small sweep.
let private inBrowser = inBrowserOf writeSweep

let private withVariants (folder: string) =
    writeSweep folder
    writeVariants folder

let private run (page: Browser.Page) (script: string) = page.Evaluate script |> ignore

/// The texts of a column of a table's visible rows.
let private column (page: Browser.Page) (table: string) (number: int) : string list =
    page.Text
        $"[...document.querySelectorAll('#table-{table} tbody tr')].filter(row => !row.hidden).map(row => row.cells[{number}].textContent).join('|')"
    |> fun texts -> texts.Split '|' |> List.ofArray

let private header (table: string) (number: int) =
    $"document.querySelectorAll('#table-{table} thead th')[{number}]"

let private enter, arrowDown, arrowRight, escape =
    ("Enter", 13), ("ArrowDown", 40), ("ArrowRight", 39), ("Escape", 27)

[<Tests>]
let tests =
    testList
        "Browser"
        [
            testCase "every plot draws, and hostile texts stay texts"
            <| fun () ->
                inBrowser (fun page ->
                    run
                        page
                        "document.querySelectorAll('.choice select').forEach(select => [...select.options].forEach(option => { select.value = option.value; select.dispatchEvent(new Event('change')); }))"

                    run page "document.querySelectorAll('.plot:not([hidden])').forEach(plot => plot.scrollIntoView())"
                    page.Settle()

                    Expect.equal
                        (page.Text
                            "document.querySelectorAll('.plot .main-svg').length > 0 && document.querySelectorAll('.plot:not([data-drawn])').length")
                        "0"
                        "all are drawn"

                    Expect.equal
                        (page.Text
                            "[...document.querySelectorAll('.plot:not([hidden])')].filter(plot => plot.querySelectorAll('.xtick').length < 2 || plot.querySelectorAll('.ytick').length < 2).map(plot => plot.dataset.figure).join()")
                        ""
                        "every axis has two ticks"

                    Expect.equal (page.Text "String(window.isHarmed)") "undefined" "nothing ran"

                    Expect.stringContains
                        (page.Text "document.querySelector('#table-failed').textContent")
                        (Printable.line hostile)
                        "the reason is whole, on one line"

                    run page "scrollTo(0, 0)"
                    page.Settle()
                    picture page "desktop")

            testCase "a table sorts by mouse and keyboard, and says how"
            <| fun () ->
                inBrowser (fun page ->
                    let scores () = column page "runs" 5 |> List.map float

                    run page (header "runs" 5 + ".querySelector('button').click()")
                    Expect.equal (scores ()) (List.sort (scores ())) "ascending"

                    Expect.equal (page.Text(header "runs" 5 + ".getAttribute('aria-sort')")) "ascending" "aria-sort"

                    run page (header "runs" 5 + ".querySelector('button').focus()")
                    page.Press enter
                    Expect.equal (scores ()) (List.sortDescending (scores ())) "descending"

                    Expect.equal
                        (page.Text "document.querySelectorAll('#table-runs [aria-sort]:not([aria-sort=none])').length")
                        "1"
                        "one column is sorted"

                    // What is missing comes last in both directions.
                    for _ in 1..2 do
                        run page (header "coverage" 3 + ".querySelector('button').click()")
                        Expect.equal (column page "coverage" 0 |> List.last) "bitfit" "missing")

            testCase "a table filters by words, and counts"
            <| fun () ->
                inBrowser (fun page ->
                    run page "document.querySelector('#table-runs .filter').focus()"
                    page.Type "paper-lora medium"
                    Expect.equal (column page "runs" 2 |> List.distinct) [ "paper-lora" ] "technique"
                    Expect.equal (column page "runs" 3 |> List.distinct) [ "medium" ] "level"

                    Expect.equal
                        (page.Text "document.querySelector('#table-runs .count').textContent")
                        "4 of 28 rows"
                        "count"

                    page.Type " nothing"

                    Expect.equal
                        (page.Text "document.querySelectorAll('#table-runs tbody tr:not([hidden])').length")
                        "0"
                        "none")

            testCase "a number opens its result files, by keyboard too"
            <| fun () ->
                inBrowser (fun page ->
                    run page "document.querySelector('#table-table1 button.cell').focus()"
                    page.Press arrowDown
                    page.Press arrowRight
                    let focused = page.Text "document.activeElement.dataset.runs"
                    Expect.equal (focused.Split ' ').Length 2 "two seeds"
                    page.Press enter
                    Expect.equal (page.Text "document.getElementById('evidence').open") "True" "open"
                    run page "document.querySelectorAll('#evidence summary').forEach(summary => summary.click())"
                    page.Settle()
                    let shown = page.Text "document.getElementById('evidence').textContent"

                    for id in focused.Split ' ' do
                        Expect.stringContains shown $"\"Id\": \"{id}\"" "the exact record"
                        Expect.stringContains shown $"{id}.json" "the file"

                    picture page "dialog"
                    page.Press escape
                    Expect.equal (page.Text "document.getElementById('evidence').open") "False" "closed")

            testCase "predictions of a chosen row stand side by side"
            <| fun () ->
                inBrowser (fun page ->
                    let rows () =
                        page.Text "document.querySelectorAll('#viewer .answers tbody tr').length"

                    Expect.equal (rows ()) "14" "every run's answer"

                    run
                        page
                        "const row = document.querySelectorAll('#viewer select')[3]; row.selectedIndex = 3; row.dispatchEvent(new Event('change'))"

                    Expect.equal
                        (page.Text "document.querySelector('#viewer .texts p').textContent")
                        hostile
                        "the hostile row as text"

                    run
                        page
                        "const level = document.querySelectorAll('#viewer select')[1]; level.value = 'low'; level.dispatchEvent(new Event('change'))"

                    Expect.equal (rows ()) "8" "one level and the baseline"
                    run page "document.querySelector('#viewer input[type=checkbox]').click()"

                    Expect.equal
                        (page.Text
                            "new Set([...document.querySelectorAll('#viewer td.words')].map(cell => cell.textContent)).size > 1")
                        "True"
                        "answers differ")

            testCase "ablation variants are shown when asked for, and the filter goes on with them"
            <| fun () ->
                inBrowserOf withVariants (fun page ->
                    let names () = column page "table1" 0 |> List.distinct
                    let whole = [ "zero-shot"; "full"; "paper-ia3"; "paper-lora" ]
                    Expect.equal (names ()) whole "hidden"
                    run page "document.querySelector('#table-table1 input.variants').click()"

                    Expect.equal
                        (names ())
                        (whole @ [ "paper-lora, early layers"; "paper-lora, later layers" ])
                        "shown"

                    run page "document.querySelector('#table-table1 .filter').focus()"
                    page.Type "early"
                    Expect.equal (names ()) [ "paper-lora, early layers" ] "filtered"
                    run page "document.querySelector('#table-table1 input.variants').click()"

                    Expect.equal
                        (page.Text "document.querySelector('#table-table1 .count').textContent")
                        "0 of 9 rows"
                        "hidden again")

            testCase "on a phone no table scrolls sideways, and every cell says what it is"
            <| fun () ->
                inBrowserOf withVariants (fun page ->
                    page.Resize(390, 844, true)

                    Expect.equal
                        (page.Text
                            "[...document.querySelectorAll('.scroll, .task-answer')].filter(part => part.scrollWidth > part.clientWidth + 1).map(part => part.getAttribute('aria-label') ?? part.textContent.slice(0, 30)).join('|')")
                        ""
                        "all fit"

                    Expect.equal
                        (page.Text "document.querySelectorAll('.sheet tbody td:not([data-heading])').length")
                        "0"
                        "headings beside the numbers"

                    run page "scrollTo(0, document.querySelector('#table-best').offsetTop - 60)"
                    page.Settle()
                    picture page "phone-table"
                    run page (header "runs" 5 + ".querySelector('button').click()")
                    let scores = column page "runs" 5 |> List.map float
                    Expect.equal scores (List.sort scores) "sorting still works")

            testCase "light, dark, phone and paper"
            <| fun () ->
                inBrowser (fun page ->
                    let background () =
                        page.Text "getComputedStyle(document.body).backgroundColor"

                    page.Media("", "light")
                    let light = background ()
                    page.Media("", "dark")
                    Expect.notEqual (background ()) light "the system's dark"
                    picture page "dark"
                    run page "document.getElementById('theme').click()"
                    Expect.equal (background ()) light "the reader's light"

                    page.Resize(390, 844, true)
                    Expect.equal (page.Text "document.documentElement.scrollWidth") "390" "nothing juts out on a phone"
                    picture page "phone"
                    page.Media("print", "dark")
                    Expect.equal (background ()) light "paper is light"

                    Expect.equal
                        (page.Text "getComputedStyle(document.querySelector('nav')).display")
                        "none"
                        "no navigation")

            testCase "every plot and control has words for those who do not see it"
            <| fun () ->
                inBrowser (fun page ->
                    let count (selector: string) =
                        page.Text $"document.querySelectorAll('{selector}').length"

                    Expect.equal (count ".canvas:not([role=img][aria-label])") "0" "plots are labelled"
                    Expect.equal (count ".plot") (count ".plot details table") "each plot has its table"

                    Expect.equal
                        (page.Text
                            "[...document.querySelectorAll('input, select')].filter(control => !control.labels.length).length")
                        "0"
                        "controls are labelled"

                    Expect.equal (count "table:not(:has(caption)):not(.answers)") "0" "tables have captions"
                    Expect.equal (page.Text "document.documentElement.lang") "en" "the language is named")
        ]
