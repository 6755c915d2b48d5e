/*
 * PixelMed as SCP or SCU: run with its jar as
 *
 *     PixelMedPeer scp PORT DIRECTORY MOVER_PORT
 *     PixelMedPeer scu HOST PORT DIRECTORY STEP...
 *
 * The SCP stores in a directory and answers queries from PixelMed's own database; MOVER is the destination that it knows.
 * The steps of the SCU, each on an association of its own, are echo, identify, store=FILE, find=STUDY, move=STUDY, get=STUDY (with
 * one context for each SOP class), get-by-several=STUDY (with several).
 */

import com.pixelmed.database.DatabaseInformationModel;
import com.pixelmed.database.PatientStudySeriesConcatenationInstanceModel;
import com.pixelmed.dicom.Attribute;
import com.pixelmed.dicom.AttributeList;
import com.pixelmed.dicom.AttributeTag;
import com.pixelmed.dicom.DicomException;
import com.pixelmed.dicom.SOPClass;
import com.pixelmed.dicom.SetOfDicomFiles;
import com.pixelmed.dicom.StoredFilePathStrategy;
import com.pixelmed.dicom.TagFromName;
import com.pixelmed.network.AnyExplicitStoreFindMoveGetPresentationContextSelectionPolicy;
import com.pixelmed.network.FindSOPClassSCU;
import com.pixelmed.network.GetSOPClassSCU;
import com.pixelmed.network.IdentifierHandler;
import com.pixelmed.network.MoveSOPClassSCU;
import com.pixelmed.network.MultipleInstanceTransferStatusHandler;
import com.pixelmed.network.NetworkApplicationInformation;
import com.pixelmed.network.ReceivedObjectHandler;
import com.pixelmed.network.StorageSOPClassSCPDispatcher;
import com.pixelmed.network.StorageSOPClassSCU;
import com.pixelmed.network.VerificationSOPClassSCU;
import java.io.File;
import java.io.IOException;
import java.util.Arrays;
import java.util.HashSet;
import java.util.Set;

class PixelMedPeer {
    private static final String HERE = "PIXELMED";
    private static final String THERE = "ARCHIVE";
    private static final StoredFilePathStrategy PATHS = StoredFilePathStrategy.BYSOPINSTANCEUIDINSINGLEFOLDER;
    private static final Set<String> WANTED = new HashSet<>(Arrays.asList(
        SOPClass.CTImageStorage, SOPClass.MRImageStorage, SOPClass.RTDoseStorage, SOPClass.RTPlanStorage));

    public static void main(String[] words) throws Exception {
        if (words[0].equals("scp")) {
            serve(Integer.parseInt(words[1]), new File(words[2]), Integer.parseInt(words[3]));
        }
        for (String step : Arrays.copyOfRange(words, 4, words.length)) {
            String[] parts = step.split("=", 2);
            ask(parts[0], words[1], Integer.parseInt(words[2]), new File(words[3]), parts.length > 1 ? parts[1] : null);
        }
        System.exit(0); // threads of PixelMed's may go on
    }

    private static void say(String format, Object... values) {
        System.out.println(String.format(format, values));
    }

    // --- SCP ---------------------------------------------------------------------------------------------------------

    private static void serve(int port, File directory, int mover) throws Exception {
        File images = new File(directory, "images");
        images.mkdir();
        DatabaseInformationModel model =
            new PatientStudySeriesConcatenationInstanceModel(new File(directory, "database").getPath());
        NetworkApplicationInformation known = new NetworkApplicationInformation();
        known.add("mover", "MOVER", "127.0.0.1", mover, "STUDYROOT", "WSD");
        ReceivedObjectHandler keep = new ReceivedObjectHandler() {
            @Override
            public void sendReceivedObjectIndication(String file, String syntax, String calling)
                    throws DicomException, IOException {
                AttributeList list = new AttributeList();
                list.read(file, TagFromName.PixelData);
                model.insertObject(list, file, DatabaseInformationModel.FILE_COPIED);
            }
        };
        new StorageSOPClassSCPDispatcher(
            port, HERE, images, PATHS, keep, model.getQueryResponseGeneratorFactory(),
            model.getRetrieveResponseGeneratorFactory(), known,
            new AnyExplicitStoreFindMoveGetPresentationContextSelectionPolicy(), false).run();
    }

    // --- SCU ---------------------------------------------------------------------------------------------------------

    private static void ask(String step, String host, int port, File directory, String what) throws Exception {
        switch (step) {
            case "echo":
                new VerificationSOPClassSCU(host, port, THERE, HERE, false);
                say("echoed");
                break;
            case "identify":
                new VerificationSOPClassSCU(host, port, THERE, HERE, false, "me", "secret");
                say("echoed");
                break;
            case "store":
                store(host, port, what);
                break;
            case "find":
                new FindSOPClassSCU(host, port, THERE, HERE, SOPClass.StudyRootQueryRetrieveInformationModelFind,
                    identifier(what), new Found());
                break;
            case "move":
                int status = new MoveSOPClassSCU(host, port, THERE, HERE, THERE,
                    SOPClass.StudyRootQueryRetrieveInformationModelMove, identifier(what)).getStatus();
                say("moved %04X", status);
                break;
            default:
                get(host, port, directory, what, step.equals("get-by-several"));
        }
    }

    private static AttributeList identifier(String study) throws DicomException {
        AttributeList made = new AttributeList();
        put(made, TagFromName.QueryRetrieveLevel, "STUDY");
        put(made, TagFromName.StudyInstanceUID, study);
        put(made, TagFromName.PatientID, null);
        return made;
    }

    private static void put(AttributeList list, AttributeTag tag, String value) throws DicomException {
        Attribute made = list.putNewAttribute(tag);
        if (value != null) {
            made.addValue(value);
        }
    }

    private static final class Found extends IdentifierHandler {
        @Override
        public void doSomethingWithIdentifier(AttributeList found) {
            say("found %s", Attribute.getSingleStringValueOrEmptyString(found, TagFromName.PatientID));
        }
    }

    private static void store(String host, int port, String file) throws Exception {
        SetOfDicomFiles sent = new SetOfDicomFiles(new String[] {file});
        MultipleInstanceTransferStatusHandler count = new MultipleInstanceTransferStatusHandler() {
            @Override
            public void updateStatus(int remaining, int completed, int failed, int warning, String instance) {
                say("sent %d %d", completed, failed);
            }
        };
        new StorageSOPClassSCU(host, port, THERE, HERE, sent, 0, count);
    }

    private static void get(String host, int port, File directory, String study, boolean several) throws Exception {
        ReceivedObjectHandler count = new ReceivedObjectHandler() {
            @Override
            public void sendReceivedObjectIndication(String file, String syntax, String calling) {
                say("got %s", syntax);
            }
        };
        new GetSOPClassSCU(host, port, THERE, HERE, SOPClass.StudyRootQueryRetrieveInformationModelGet,
            identifier(study), new IdentifierHandler(), directory, PATHS, count, WANTED, several, true, false);
        say("done");
    }
}
